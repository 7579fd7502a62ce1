"""Send one order to service1 and follow it to its end, as any HTTP client would: order.py http://127.0.0.1:8001"""

import json
import sys
import time
import urllib.request

ORDER = {
    "customer_id": "ci",
    "items": [{"product_id": "book", "quantity": 2}],
    "total_amount": "59.90",
    "priority": "NORMAL",
}
PATIENCE_SECONDS = 30


def ask(url: str, body: object = None) -> tuple[int, str, dict[str, object]]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310  # our own service
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310  # the same
        return answer.status, answer.headers.get("Location") or "", json.load(answer)


def main(base: str) -> None:
    status, location, accepted = ask(f"{base}/api/orders", ORDER)
    if status != 202 or not location:
        sys.exit(f"order not accepted: {status} {accepted}")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        _, _, order = ask(base + location)
        if order["status"] == "succeeded":
            break
        if order["status"] == "failed" or time.monotonic() > deadline:
            sys.exit(f"order {location} did not succeed: {order}")
        time.sleep(0.1)
    print(f"order {accepted['order_id']}: {order['status']}, result {json.dumps(order.get('result'))}")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
