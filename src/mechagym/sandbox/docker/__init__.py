"""The Docker backend."""

from mechagym.sandbox.docker.sandbox import DockerSandbox

__all__ = ["DockerSandbox"]
