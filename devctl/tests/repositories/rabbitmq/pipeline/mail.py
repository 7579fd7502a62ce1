from pipeline.app import app


@app.task(acks_late=True, time_limit=30)
def send(to: str, subject: str, body: str = ""):
    return f"to {to}: {subject}"


@app.task(acks_late=True)
def newsletter(addresses: list[str]):
    return len(addresses)
