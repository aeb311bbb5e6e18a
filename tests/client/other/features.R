# What the R client does: the token in the header and in the query, and a data.frame of the properties of each feature.
arguments <- commandArgs(trailingOnly = TRUE)
base <- arguments[[1]]
ids <- arguments[2:5]

answer <- httr::POST(paste0(base, "/account/login"), encode = "json",
                     body = list(username = "demo_user", password = "demo_user"))
token <- httr::content(answer)[["token"]]

ask <- function(path, query = list()) {
  query[["token"]] <- token
  answer <- httr::GET(paste0(base, path), query = query, httr::add_headers(Authorization = paste("bearer", token)))
  if (httr::status_code(answer) != 200) stop(httr::content(answer, as = "text"))
  httr::content(answer)
}

as_frame <- function(features) {
  rows <- lapply(features, function(feature) {
    shape <- sf::st_point(unlist(feature[["geometry"]][["coordinates"]]))
    sf::st_sf(properties = feature[["properties"]], geometry = sf::st_sfc(shape, crs = 4326))
  })
  list(count = length(rows), columns = lapply(rows, names))
}

timestamp <- paste0("/path/", ids[[1]], "/vector/timestamp/", ids[[2]])
listed <- ask(paste0(timestamp, "/listFeatures"))
world <- '{"xMin": -180, "xMax": 180, "yMin": -85, "yMax": 85}'
page <- ask(paste0(timestamp, "/featuresByExtent"), list(extent = world, pageSize = 1))
start <- jsonlite::toJSON(page[["nextPageStart"]], auto_unbox = TRUE)
following <- ask(paste0(timestamp, "/featuresByExtent"), list(extent = world, pageStart = as.character(start)))
tile <- ask(paste0("/path/", ids[[3]], "/raster/timestamp/", ids[[4]], "/tile/0/0/0"), list(style = "any"))
cat(jsonlite::toJSON(auto_unbox = TRUE, list(
  listed = as_frame(listed[["result"]][["features"]]),
  pages = c(length(page[["result"]][["features"]]), length(following[["result"]][["features"]])),
  tile = dim(tile)
)))
