"""Text of agents, tasks, models and repositories, made safe to show: each module makes markup of
it by escaping all and adding only classes of ours.
"""
