// What a page with a map does by ellipsis-js-util: the url of a raster's tiles, and the features in view, in two ways.
globalThis.self = globalThis
const { EllipsisApi, RasterLayerUtil, VectorLayerUtil } = require('ellipsis-js-util')

const [url, raster, vector, view] = process.argv.slice(2)

class Layer extends VectorLayerUtil.EllipsisVectorLayerBase {
  getMapBounds = () => JSON.parse(view)
  updateView = () => {}
  load_all = () => new Promise((done) => {
    // Called when a look for more has found nothing.
    this.ensureMaxCacheSize = done
    this.update()
  })
}

async function main() {
  EllipsisApi.setApiUrl(url)
  const { token } = await EllipsisApi.login('demo_user', 'demo_user')
  const tiles = await RasterLayerUtil.getSlippyMapUrlWithDefaults({ pathId: raster, token })
  const found = []
  for (const loadAll of [false, true]) {
    const layer = new Layer({ pathId: vector, token, loadAll, maxZoom: 12, pageSize: 50 })
    await layer.load_all()
    const features = layer.getFeatures()
    found.push(features.map((one) => [one.properties.id, one.properties.compiledStyle.fillColor]))
  }
  console.log(JSON.stringify({ tiles, found }))
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
