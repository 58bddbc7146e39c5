"""The yardstick of `examples/measure.rs`: a Python function that makes the calls of a join.

It keeps no promise but the count's guard, and knows only as much as the measurement asks of it. It
speaks Lambda's Runtime API by itself, as the managed runtime would for it.
"""

import http.client
import json
import os
import time

import boto3

DYNAMODB = boto3.client("dynamodb")
LAMBDA = boto3.client("lambda")
CONNECTIONS = boto3.client(
    "apigatewaymanagementapi", endpoint_url=os.environ["CONNECTIONS_ENDPOINT"]
)
SESSION = "faithful-shepherd-427"
SESSIONS = os.environ["SESSIONS_TABLE"]
MEMBERS = os.environ["CONNECTIONS_TABLE"]
RATE_LIMITS = os.environ["RATE_LIMITS_TABLE"]
MAX_LISTENERS = 500


def answer(event):
    if "firstMessage" in event:
        return deliver(event["firstMessage"])
    context = event.get("requestContext", {})
    if context.get("routeKey") != "$connect":
        return {"statusCode": 200}
    query = event.get("queryStringParameters") or {}
    if query.get("action") == "createSession":
        return create()
    return join(context, query)


def create():
    item = {"sessionId": {"S": SESSION}, "listeners": {"N": "0"}, "isActive": {"BOOL": True}}
    DYNAMODB.put_item(TableName=SESSIONS, Item=item)
    return {"statusCode": 200}


def pay(operation, source):
    """One step of a token bucket."""
    DYNAMODB.update_item(
        TableName=RATE_LIMITS,
        Key={"identifier": {"S": f"{operation}:source:{source}"}},
        UpdateExpression="ADD taken :one SET expiresAt = :soon",
        ConditionExpression="attribute_not_exists(taken) OR taken < :most",
        ExpressionAttributeValues={
            ":one": {"N": "1"},
            ":soon": {"N": str(int(time.time()) + 60)},
            ":most": {"N": "1000000"},
        },
    )


def look():
    key = {"sessionId": {"S": SESSION}}
    return DYNAMODB.get_item(TableName=SESSIONS, Key=key, ConsistentRead=True)["Item"]


def join(context, query):
    connection = context["connectionId"]
    source = context["identity"]["sourceIp"]
    pay("connect", source)
    pay("join", source)
    if not look()["isActive"]["BOOL"]:
        return {"statusCode": 404}
    now = str(int(time.time() * 1000))
    member = {
        "connectionId": {"S": connection},
        "sessionId": {"S": SESSION},
        "targetLanguage": {"S": query["targetLanguage"]},
        "connectedAt": {"N": now},
        "ttl": {"N": str(int(time.time()) + 10800)},
    }
    DYNAMODB.transact_write_items(
        ClientRequestToken=connection,
        TransactItems=[
            {
                "Put": {
                    "TableName": MEMBERS,
                    "Item": member,
                    "ConditionExpression": "attribute_not_exists(connectionId)",
                }
            },
            {
                "Update": {
                    "TableName": SESSIONS,
                    "Key": {"sessionId": {"S": SESSION}},
                    "UpdateExpression": "ADD listeners :one",
                    "ConditionExpression": "isActive = :yes AND listeners < :most",
                    "ExpressionAttributeValues": {
                        ":one": {"N": "1"},
                        ":yes": {"BOOL": True},
                        ":most": {"N": str(MAX_LISTENERS)},
                    },
                }
            },
        ],
    )
    message = {
        "type": "sessionJoined",
        "sessionId": SESSION,
        "sourceLanguage": "en",
        "targetLanguage": query["targetLanguage"],
        "connectionId": connection,
        "broadcastState": {"isPaused": False, "isMuted": False, "lastStateChange": int(now)},
        "timestamp": int(now),
    }
    order = {"firstMessage": {"connectionId": connection, "message": json.dumps(message)}}
    LAMBDA.invoke(
        FunctionName=os.environ["AWS_LAMBDA_FUNCTION_NAME"],
        InvocationType="Event",
        Payload=json.dumps(order),
    )
    return {"statusCode": 200}


def deliver(order):
    for _ in range(7):
        try:
            CONNECTIONS.post_to_connection(
                ConnectionId=order["connectionId"], Data=order["message"].encode()
            )
            break
        except CONNECTIONS.exceptions.GoneException:
            time.sleep(0.05)
    look()
    return {"statusCode": 200}


def main():
    runtime = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    invocation = "/2018-06-01/runtime/invocation"
    while True:
        runtime.request("GET", f"{invocation}/next")
        response = runtime.getresponse()
        event = json.loads(response.read())
        request = response.headers["lambda-runtime-aws-request-id"]
        try:
            path, body = "response", answer(event)
        except Exception as error:
            path, body = "error", {"errorType": type(error).__name__, "errorMessage": str(error)}
        runtime.request("POST", f"{invocation}/{request}/{path}", json.dumps(body))
        runtime.getresponse().read()


if __name__ == "__main__":
    main()
