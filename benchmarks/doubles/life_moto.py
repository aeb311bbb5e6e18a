"""The same kind of job with moto: an object's life in a bucket inside `mock_aws`. python life_moto.py ROUNDS"""

import json
import sys
import time

import boto3
from moto import mock_aws


def life(client):
    client.create_bucket(Bucket="bucket")
    client.put_object(Bucket="bucket", Key="key", Body=b"value")
    assert client.get_object(Bucket="bucket", Key="key")["Body"].read() == b"value"
    client.delete_object(Bucket="bucket", Key="key")


times = {"fixture": [], "life": []}
for number in range(-2, int(sys.argv[1])):
    began = time.perf_counter()
    with mock_aws():
        boto3.client("s3", region_name="us-east-1")
    started = time.perf_counter()
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        entered = time.perf_counter()
        life(client)
        ended = time.perf_counter()
    if number >= 0:
        times["fixture"].append(started - began)
        times["life"].append(ended - entered)
print(json.dumps(times))
