import time

from pipeline.app import app


@app.task
def resize(path: str, width: int, height: int = 0, *, keep_ratio: bool = True) -> str:
    """Resize one image."""
    time.sleep(0.01)
    return f"{path}@{width}x{height or width}"


@app.task(ignore_result=True)
def forget(path):
    time.sleep(0.01)


class Thumbnail(app.Task):
    name = "pipeline.thumbnail"

    def run(self, path: str, size: int = 64):
        return f"{path}@{size}"


app.register_task(Thumbnail())
