"""Plug-in of the engine: the three things that its CPU part lacks for experts that are spread over ranks.

vLLM 0.32 has no `all_gatherv` and `reduce_scatterv` for CPUs (`DeviceCommunicatorBase` raises NotImplementedError), and
its kernel for experts on CPUs takes no heed of `expert_map`: it reads past the experts that are there, and crashes.
Ranks, groups, which expert is where, routing and the exchange itself (`AgRsAll2AllManager`) are the engine's.
"""

from __future__ import annotations

from pathlib import Path

NAME = Path(__file__).stem


def install(folder: Path) -> str:
    """Make a folder that an engine has to be started with, as PYTHONPATH, to load this; the folder."""
    facts = folder / f"{NAME}-0.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 0\n")
    (facts / "entry_points.txt").write_text(f"[vllm.general_plugins]\n{NAME} = {NAME}:register\n")
    (folder / f"{NAME}.py").write_text(Path(__file__).read_text())
    return str(folder)


def register() -> None:
    """Called by the engine in each of its processes."""
    from vllm.distributed.device_communicators.cpu_communicator import CpuCommunicator
    from vllm.model_executor.layers.fused_moe.experts.cpu_moe import CPUUnquantizedExperts

    CpuCommunicator.all_gatherv, CpuCommunicator.reduce_scatterv = all_gatherv, reduce_scatterv
    kernel = CPUUnquantizedExperts.apply

    def apply(self, **values):
        """Experts that are elsewhere count for nothing here; the others go by their number here."""
        if (places := values["expert_map"]) is not None:
            places = places[values["topk_ids"].long()]
            values["topk_weights"] = values["topk_weights"] * (places >= 0)
            values["topk_ids"] = places.clamp(min=0).to(values["topk_ids"].dtype)
        return kernel(self, **values)

    CPUUnquantizedExperts.apply = apply


def all_gatherv(self, input_, dim=0, sizes=None):
    """Rows of every rank, in order: each rank's are filled up to the most, as gloo takes one size only."""
    import torch

    if isinstance(input_, list):
        return [all_gatherv(self, one, dim, sizes) for one in input_]
    filled = input_.new_zeros(max(sizes), *input_.shape[1:])
    filled[: input_.shape[0]] = input_
    found = [torch.empty_like(filled) for _ in sizes]
    torch.distributed.all_gather(found, filled, group=self.device_group)
    return torch.cat([rows[:size] for rows, size in zip(found, sizes, strict=True)])


def reduce_scatterv(self, input_, dim=0, sizes=None):
    """Of the sum over all ranks, the rows that are this one's."""
    import torch

    total = input_.clone()
    torch.distributed.all_reduce(total, group=self.device_group)
    return total.split(sizes, dim)[self.rank_in_group].clone()
