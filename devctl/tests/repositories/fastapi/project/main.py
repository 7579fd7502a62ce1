from fastapi import FastAPI
from pydantic import BaseModel

from worker import celery, create_report

app = FastAPI()


class Order(BaseModel):
    pages: int


@app.post("/reports", status_code=201)
def order_report(order: Order):
    task = create_report.delay(order.pages)
    return {"task_id": task.id}


@app.get("/reports/{task_id}")
def report(task_id: str):
    result = celery.AsyncResult(task_id)
    return {"task_id": task_id, "status": result.status}
