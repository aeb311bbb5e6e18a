"""A model that every node reads: coefficients of a linear one, sent along as a file."""

import json
import sys

import ellipsis as el

el.apiManager.baseUrl = "https://api.ellipsis-drive.com/v3"
token = el.account.logIn("model_file", "a password")


def f(params):
    import json
    from io import BytesIO

    import numpy as np

    scene = params["32fc7fae-cbfe-4a76-8267-83b692ece730"]["raster"].astype("float64")
    limits = json.load(params["f0cffbac-d28c-4314-9feb-f0012ecb1aa5"])
    for key, value in params.items():
        if type(value) is BytesIO and key != "f0cffbac-d28c-4314-9feb-f0012ecb1aa5":
            model = np.load(value)
    predicted = np.tensordot(model["weights"], scene, 1) + model["intercept"]
    return float(predicted.sum()), limits["flood_level_m"]


if __name__ == "__main__":
    import numpy as np

    np.savez("model.npz", weights=[0.5, -0.25, 0.125, 2], intercept=1.5)
    modelId = el.path.file.add(token, filePath="model.npz")["id"]
    layers = [{"pathId": "1791d90c-86ee-417e-aa04-0e22447f6fd9", "timestampId": "32fc7fae-cbfe-4a76-8267-83b692ece730"}]
    files = [modelId, "f0cffbac-d28c-4314-9feb-f0012ecb1aa5"]
    interpreter = f"python3.{sys.version_info[1]}"
    computeId = el.compute.createCompute(layers, token, files=files, nodes=2, interpreter=interpreter)["id"]
    res = el.compute.execute(computeId, f, token)
    el.compute.terminateCompute(computeId, token)
    print(json.dumps({"sum": sum(r[0] for r in res), "level": res[0][1]}))
