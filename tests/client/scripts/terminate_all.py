"""What runs is listed, and ended."""

import json
import sys
import time

import ellipsis as el

el.apiManager.baseUrl = "https://api.ellipsis-drive.com/v3"
token = el.account.logIn("terminate_all", "a password")

layers = [{"pathId": "a79e1fe9-5a2d-4382-b762-3bd9a20151f5", "timestampId": "54e9cecc-30b4-4e8b-bba2-06f85b41a764"}]
for nodes in (1, 1):
    el.compute.createCompute(layers, token, nodes=nodes, interpreter=f"python3.{sys.version_info[1]}")
before = [compute["status"] for compute in el.compute.listComputes(token)["result"]]
el.compute.terminateAll(token)
while {compute["status"] for compute in el.compute.listComputes(token)["result"]} != {"stopped"}:
    time.sleep(0.1)
after = [compute["status"] for compute in el.compute.listComputes(token)["result"]]
print(json.dumps({"before": before, "after": after}))
