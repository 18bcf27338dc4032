"""Jobs through the API: work behind the answer."""

from __future__ import annotations

from dataclasses import asdict

from reliquary.catalog.records import JobRow
from reliquary.errors import Malformed, NotHere
from reliquary.repositories import configure
from reliquary.web.api import operations
from reliquary.web.api.models import JobNew, JobShown
from reliquary.web.api.operations import Ask, Made, Operation

SHOWN = 100


def shown(job: JobRow) -> JobShown:
    """A job as it is answered."""
    return JobShown.model_validate(asdict(job))


async def every(ask: Ask) -> list[JobShown]:
    """The newest jobs first."""
    operations.require_admin(ask)
    return [shown(job) for job in await ask.state.context.catalog.jobs.list(operations.limit(ask, SHOWN))]


async def one(ask: Ask) -> JobShown:
    """One job."""
    operations.require_admin(ask)
    job = await ask.state.context.catalog.jobs.get(operations.number(ask.path["id"], "job"))
    if job is None:
        raise NotHere("there is no such job")
    return shown(job)


async def add(ask: Ask) -> Made:
    """Queue a job."""
    operations.require_admin(ask)
    wanted: JobNew = ask.body
    args = {name: value for name in ("repository", "name") if (value := getattr(wanted, name)) is not None}
    args |= {name: "true" for name in ("dry_run", "repair") if getattr(wanted, name)}
    _check(ask, wanted)
    jobs = ask.state.context.catalog.jobs
    number = await jobs.add(wanted.kind, args, ask.actor.name)
    job = await jobs.get(number)
    if job is None:
        raise NotHere("the job is gone already")
    return Made(shown(job), f"/jobs/{number}")


def _check(ask: Ask, wanted: JobNew) -> None:
    """Refuse at once what could only fail later."""
    about_one = wanted.kind in ("refresh", "purge")
    if about_one and wanted.repository is None:
        raise Malformed(f"{wanted.kind} needs a repository")
    if not about_one and (wanted.repository is not None or wanted.name is not None):
        raise Malformed(f"{wanted.kind} is about everything: it takes no repository and no name")
    if wanted.dry_run and wanted.kind != "gc":
        raise Malformed(f"{wanted.kind} takes no dry_run")
    if wanted.repair and wanted.kind != "verify":
        raise Malformed(f"{wanted.kind} takes no repair")
    if wanted.repository is not None:
        configure.find(ask.state.specs(), wanted.repository)


OPERATIONS = (
    Operation("GET", "/jobs", "List jobs", every, list[JobShown], query={"limit": f"at most so many, up to {SHOWN}"}),
    Operation("POST", "/jobs", "Queue a job", add, JobShown, status=202, body=JobNew),
    Operation("GET", "/jobs/{id}", "Show a job", one, JobShown),
)
