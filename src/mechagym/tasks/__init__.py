"""Task folders and datasets: read, checked, never written to.

Nothing is imported here; take what you need from its own module:

    model       Task, Step, Environment, …: the frozen values that everybody else sees
    folder      load_task(folder): one folder, Harbor's form or Terminal-Bench 1's
    dataset     load_dataset(source), Dataset, Broken: a folder, git, a registry name, a suite
    selection   select(tasks, include, exclude), resolve(names, sources)
    lint        lint_task(task), lint_folder(folder), Finding
    new         create_task(target, name): a working skeleton
    convert     import_tasks(source, target): other forms, written as Harbor folders
    needs       needs(task): what a host must give

Every error is a TaskError whose message starts with `file:line`; a ConfigError where no file is at
fault (a name that does not exist).
"""
