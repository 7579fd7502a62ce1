from django.http import JsonResponse
from django.urls import path

from mails.tasks import send


def order(request):
    task = send.delay(request.GET.get("to", "nobody@example.org"))
    return JsonResponse({"task_id": task.id}, status=202)


urlpatterns = [path("order", order)]
