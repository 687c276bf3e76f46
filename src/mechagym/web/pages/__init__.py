"""The pages, one module each: a router, whose handlers ask one named query and render a template.

A page is added in three steps: its view model and template beside the others, its router in
`PAGES`, its entry in `frame.NAVIGATION`.
"""

from mechagym.web.pages import api, compare, dashboard, job, jobs, op, task, tasks, trial, usage

PAGES = (
    *(dashboard.router, usage.router),
    *(tasks.router, task.router, jobs.router, job.router, compare.router, trial.router),
    *(op.router, api.router),
)
