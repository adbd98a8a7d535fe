"""Kernels for running many notebooks: forks of one process that has the libraries imported already, which would cost each of hundreds of notebooks seconds.

Nothing of healthlab is imported before the fork: a notebook reads its own scratch workbench's settings, as in a kernel of its own."""
import multiprocessing
import os
from importlib.metadata import EntryPoint

from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

PRELOAD = ["ipykernel.kernelapp", "ipykernel.ipkernel", "ipykernel.zmqshell", "ipywidgets", "numpy", "pandas", "pyarrow.parquet", "pyarrow.compute", "pyarrow.dataset", "duckdb", "deltalake", "msgspec", "matplotlib.figure", "sklearn.linear_model", "scipy.stats", "scipy.optimize", "torch"]


def begin(connection_file, env, cwd):
    "In the fork: the notebook's environment first, then the kernel."
    os.environ.clear()
    os.environ.update(env)
    multiprocessing.current_process()._config["daemon"] = False  # notebooks start processes of their own
    from healthlab.ui.forked import become_kernel
    become_kernel(connection_file, env, cwd)


class Forked(LocalProvisioner):
    async def launch_kernel(self, cmd, **kwargs):
        from healthlab.ui.forked import Child
        process = multiprocessing.get_context("forkserver").Process(target=begin, args=(self.parent.connection_file, dict(kwargs.get("env") or os.environ), str(kwargs.get("cwd") or "")), daemon=True)
        process.start()
        self.process, self.pid, self.pgid, self.cwd = Child(process), process.pid, None, kwargs.get("cwd")
        return self.connection_info


class Manager(AsyncKernelManager):
    "A kernel manager whose kernel is a fork."
    def __init__(self, **given):
        super().__init__(**given)
        multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOAD)
        factory = KernelProvisionerFactory.instance()
        factory.provisioners["notebooks"] = EntryPoint("notebooks", "kernels:Forked", factory.GROUP_NAME)

    @property
    def kernel_spec(self):
        spec = super().kernel_spec
        spec.metadata = {"kernel_provisioner": {"provisioner_name": "notebooks"}}
        return spec
