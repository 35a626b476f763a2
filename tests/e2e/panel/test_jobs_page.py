"""The page of jobs: a file is looked at, queued, started by a second look, and watched."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from google.protobuf.duration_pb2 import Duration
from playwright.async_api import Browser, FilePayload, Page, expect

from fakes.panel_gateway import FakeGateway, fake_gateway
from fakes.panel_page import panel_page
from fakes.panel_snapshots import TIME, job, machine, workshop
from fakes.waiting import until
from usbshare.job.v1 import job_pb2
from usbshare.page.v1 import page_pb2
from usbshare.serial.v1 import serial_pb2

CONTENT = b"G0 X10\nM3 S100\nG1 X60 Y45\nM5\n"
FILE = FilePayload(name="coaster.nc", mimeType="text/plain", buffer=CONTENT)
BOX = job_pb2.Box(min_x_mm=10, max_x_mm=60, max_y_mm=45)
ANALYSIS = job_pb2.Analysis(
    file=job_pb2.File(sha256=b"\0" * 32, size_bytes=len(CONTENT), lines=4),
    duration=Duration(seconds=46),
    box=BOX,
    burnt_box=BOX,
    has_machine_settings=True,
    peak_bytes_per_s=20_000,
    line_bytes_per_s=11_520,
    findings=[job_pb2.Finding(line=3, severity=job_pb2.SEVERITY_WARNING, text="too fast")],
    finding_count=1,
)


class JobService:
    """Answers the calls of a page; keeps them by name."""

    def __init__(self, analysis: job_pb2.Analysis = ANALYSIS) -> None:
        self.analysis = analysis
        self.calls: list[page_pb2.JobCall] = []
        self.refusal = ""

    def __call__(self, request: page_pb2.Request) -> page_pb2.Answer:
        call = request.job_call
        self.calls.append(call)
        name = call.WhichOneof("call")
        if name == "analyse":
            return page_pb2.Answer(job=page_pb2.JobReply(analyse=self.analysis))
        if name == "start" and self.refusal and not call.start.despite_errors:
            return page_pb2.Answer(failure=page_pb2.Failure(text=self.refusal))
        if name == "enqueue":
            made = job_pb2.EnqueueResponse(job=job().job)
            return page_pb2.Answer(job=page_pb2.JobReply(enqueue=made))
        return page_pb2.Answer()

    def named(self, name: str) -> list[page_pb2.JobCall]:
        return [each for each in self.calls if each.WhichOneof("call") == name]


@asynccontextmanager
async def shown(
    browser: Browser, snapshot: page_pb2.Snapshot, service: JobService
) -> AsyncIterator[tuple[FakeGateway, Page]]:
    """Show the jobs of the laser."""
    async with fake_gateway(snapshot) as gateway:
        gateway.answers["job_call"] = service
        address = f"{gateway.url}#/jobs/laser-host/laser"
        async with panel_page(browser, address) as page:
            await expect(page.get_by_role("heading", name="New job")).to_be_visible()
            yield gateway, page


async def test_a_file_is_checked_and_queued_and_nothing_starts(browser: Browser) -> None:
    service = JobService()
    async with shown(browser, workshop(), service) as (gateway, page):
        gateway.preview = {
            "box": [10, 0, 60, 45],
            "is_cut": False,
            "segments": [[10, 0, 60, 45, 0.5, 3]],
        }
        await page.set_input_files("#job-file", files=[FILE])
        for text in [
            "4 lines, 29 B",
            "46 s",
            "X 10.0 to 60.0, Y 0.0 to 45.0 mm (50.0",
            "20.0 kB/s of the line's 11.5 kB/s: the machine will stutter",
            "too fast",
        ]:
            await expect(page.get_by_text(text).first).to_be_visible()
        await expect(page.get_by_role("img", name="Preview of the job: X 10.0")).to_be_visible()
        ((query, data),) = gateway.uploads
        assert data == CONTENT
        assert (query["host"], query["port"], query["name"]) == (
            "laser-host",
            "laser",
            "coaster.nc",
        )
        await page.get_by_label("Passes").fill("3")
        await page.get_by_label("Hold it when nobody is watching").check()
        await page.get_by_role("button", name="Add to the queue").click()
        await expect(page.locator("#notices")).to_contain_text("coaster.nc is at place 1")
        (call,) = service.named("enqueue")
        assert (call.enqueue.passes, call.enqueue.attended) == (3, True)
        assert call.enqueue.request_id
        assert service.named("start") == []


async def test_a_file_can_be_dropped(browser: Browser) -> None:
    async with shown(browser, workshop(), JobService()) as (gateway, page):
        await page.evaluate(
            """() => {
              const data = new DataTransfer();
              data.items.add(new File(["G0 X1\\n"], "dropped.nc"));
              const place = document.querySelector(".drop");
              for (const kind of ["dragenter", "dragover", "drop"]) {
                const options = {dataTransfer: data, bubbles: true, cancelable: true};
                place.dispatchEvent(new DragEvent(kind, options));
              }
            }"""
        )
        await until(lambda: gateway.uploads)
        assert gateway.uploads[0][0]["name"] == "dropped.nc"


async def test_a_start_asks_for_confirmation(browser: Browser) -> None:
    service = JobService()
    async with shown(browser, workshop(jobs=[job()]), service) as (_, page):
        await page.get_by_role("button", name="Start …").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("Start coaster.nc?")
        await expect(dialog).to_contain_text("at X -400.0, Y -400.0 of the machine")
        assert service.named("start") == []
        await dialog.get_by_label("Start the next job").check()
        await dialog.get_by_role("button", name="Start now").click()
        await until(lambda: service.named("start"))
        start = service.named("start")[0].start
        assert (start.job_id, start.auto_advance, start.despite_errors) == (17, True, False)
        await expect(dialog).to_have_count(0)


async def test_control_of_this_panel_gives_way_to_a_job(browser: Browser) -> None:
    service = JobService()
    ours = machine(control_state=page_pb2.CONTROL_STATE_OURS)
    async with shown(browser, workshop(ours, jobs=[job()]), service) as (gateway, page):
        await page.get_by_role("button", name="Start …").click()
        await page.get_by_role("button", name="Start now").click()
        await until(lambda: service.named("start"))
        kinds = [each.WhichOneof("action") for _, each in gateway.heard]
        assert "release_control" in kinds[: len(kinds) - 1 - kinds[::-1].index("job_call")]


async def test_a_start_that_is_not_answered_yet_does_not_hide_the_job(browser: Browser) -> None:
    waiting = job()
    async with shown(browser, workshop(jobs=[waiting]), JobService()) as (gateway, page):
        analyse = gateway.answers["job_call"]
        gateway.answers["job_call"] = lambda request: (
            None if request.job_call.HasField("start") else analyse(request)
        )
        await page.get_by_role("button", name="Start …").click()
        await page.get_by_role("button", name="Start now").click()
        waiting.job.state = job_pb2.JOB_STATE_RUNNING
        await gateway.send(job_changed=waiting)
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await page.get_by_role("button", name="Hold", exact=True).click()


async def test_a_job_with_errors_starts_only_if_somebody_confirms_it(browser: Browser) -> None:
    error = job_pb2.Finding(line=9, severity=job_pb2.SEVERITY_ERROR, text="leaves the bed")
    wrong = job_pb2.Analysis(findings=[error], finding_count=1, error_count=1)
    service = JobService(wrong)
    service.refusal = "the analysis found 1 error"
    async with shown(browser, workshop(jobs=[job()]), service) as (_, page):
        await page.get_by_role("button", name="Start …").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("1 error: leaves the bed")
        await dialog.get_by_role("button", name="Start now").click()
        await expect(dialog).to_contain_text("the analysis found 1 error")
        await dialog.get_by_label("Start although").check()
        await dialog.get_by_role("button", name="Start now").click()
        await expect(dialog).to_have_count(0)


async def test_the_queue_is_reordered_and_a_job_deleted(browser: Browser) -> None:
    service = JobService()
    jobs = [job(), job(19, name="lid.nc", place=2)]
    async with shown(browser, workshop(jobs=jobs), service) as (_, page):
        await expect(page.get_by_role("button", name="Move coaster.nc up")).to_be_disabled()
        await page.get_by_role("button", name="Move lid.nc up").click()
        await until(lambda: service.named("reorder"))
        reorder = service.named("reorder")[0].reorder
        assert (reorder.job_id, reorder.place) == (19, 1)
        await page.get_by_role("button", name="Delete lid.nc").click()
        await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await until(lambda: service.named("delete"))


async def test_a_running_job_is_held_resumed_and_cancelled(browser: Browser) -> None:
    progress = job_pb2.Progress(
        sent_lines=50, acknowledged_lines=40, executed_lines=30, remaining=Duration(seconds=115)
    )
    running = job(18, state=job_pb2.JOB_STATE_RUNNING, place=0, progress=progress)
    running.job.progress.lines = 100
    service = JobService()
    async with shown(browser, workshop(jobs=[running]), service) as (gateway, page):
        now = page.get_by_role("region", name="Now")
        await expect(now).to_contain_text("30 %")
        await expect(now).to_contain_text("1:55 left")
        await expect(now).to_contain_text("of 100 lines 50 sent, 40 answered, 30 executed")
        await expect(now).not_to_contain_text("asks for this machine")
        running.job.control_requests.add(who="usbshare://s/bench-4", request_time=TIME)
        await gateway.send(job_changed=running)
        await expect(now).to_contain_text("bench-4 asks for this machine")
        await now.get_by_role("button", name="Hold", exact=True).click()
        await until(lambda: service.named("hold"))
        running.job.state = job_pb2.JOB_STATE_HELD
        running.job.hold_number = 4
        await gateway.send(job_changed=running)
        await now.get_by_role("button", name="Resume", exact=True).click()
        await until(lambda: service.named("resume"))
        assert service.named("resume")[0].resume.hold_number == 4
        await now.get_by_role("button", name="Cancel the job").click()
        await page.get_by_role("dialog").get_by_role("button", name="Cancel the job").click()
        await until(lambda: service.named("cancel"))
        running.job.state = job_pb2.JOB_STATE_CANCELLED
        count = len(service.named("list_history"))
        await gateway.send(job_removed=running)
        await expect(now).to_be_hidden()
        await until(lambda: len(service.named("list_history")) > count)


async def test_after_a_stop_the_way_on_is_beside_the_jobs(browser: Browser) -> None:
    """As on the machine's page; a held job has its own buttons."""
    latch = serial_pb2.Latch(cause=serial_pb2.LATCH_CAUSE_EMERGENCY_STOP, epoch=9)
    stopped = machine(
        port=serial_pb2.Port(latched=True, latch=latch),
        condition="an emergency stop latches the port",
        next_step=page_pb2.NEXT_STEP_REARM,
    )
    held = job(18, state=job_pb2.JOB_STATE_HELD, place=0)
    async with shown(browser, workshop(stopped, jobs=[held]), JobService()) as (gateway, page):
        await expect(page.get_by_role("button", name="Cancel the job")).to_be_visible()
        await expect(page.get_by_role("button", name="Re-arm")).to_be_hidden()
        await gateway.send(job_removed=held)
        await page.get_by_role("button", name="Re-arm").click()
        await until(lambda: gateway.requests("rearm"))


async def test_a_reload_touches_no_job(browser: Browser) -> None:
    running = job(18, state=job_pb2.JOB_STATE_RUNNING, place=0)
    service = JobService()
    async with shown(browser, workshop(jobs=[running]), service) as (gateway, page):
        await expect(page.get_by_role("region", name="Now")).to_be_visible()
        await page.reload()
        await expect(page.get_by_role("region", name="Now")).to_be_visible()
        kinds = {each.WhichOneof("call") for each in service.calls}
        assert kinds <= {"list_history"}
        assert gateway.requests("stop") == []


async def test_a_viewer_cannot_queue_and_sees_why(browser: Browser) -> None:
    viewer = machine()
    viewer.control.CopyFrom(page_pb2.Permission(reason="bench-3 may look and stop"))
    async with shown(browser, workshop(viewer, jobs=[job()]), JobService()) as (_, page):
        await expect(page.locator("#job-file")).to_be_disabled()
        await expect(page.locator("#new-job-reason")).to_contain_text("may look and stop")
        await expect(page.get_by_role("button", name="Start …")).to_be_disabled()


async def test_another_file_can_be_chosen_before_the_first_is_queued(browser: Browser) -> None:
    async with shown(browser, workshop(), JobService()) as (_, page):
        await page.set_input_files("#job-file", files=[FILE])
        await expect(page.get_by_role("button", name="Add to the queue")).to_be_visible()
        await page.evaluate(
            """() => {
              const named = (text) => [...document.querySelectorAll("button")]
                .find((each) => each.textContent === text);
              named("Add to the queue").click();
              named("Another file").click();
            }"""
        )
        await expect(page.locator("#notices")).to_contain_text("coaster.nc is at place")
        await expect(page.locator(".drop")).to_be_visible()
