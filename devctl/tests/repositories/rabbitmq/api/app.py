from flask import Flask, jsonify, request

from pipeline.app import app as celery_app

app = Flask(__name__)


@app.post("/resize")
def resize():
    given = request.get_json()
    task = celery_app.send_task("pipeline.images.resize", args=[given["path"], given["width"]], queue="images")
    return jsonify(task_id=task.id), 202


@app.get("/")
def index():
    return "up"
