"""The paper's evaluation as far as it can be rebuilt: suites, jobs, scorers, report, user study.

Nothing here loads torch but `scorers` and `job`, which run in processes of their own.
"""
