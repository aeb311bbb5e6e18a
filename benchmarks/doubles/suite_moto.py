"""50 tests with moto's `mock_aws`, each an object's life in a bucket. Collected by pytest."""

import boto3
import pytest
from moto import mock_aws


@pytest.fixture
def client():
    with mock_aws():
        yield boto3.client("s3", region_name="us-east-1")


@pytest.mark.parametrize("number", range(50))
def test_life(client, number):
    client.create_bucket(Bucket="bucket")
    client.put_object(Bucket="bucket", Key="key", Body=b"value")
    assert client.get_object(Bucket="bucket", Key="key")["Body"].read() == b"value"
    client.delete_object(Bucket="bucket", Key="key")
