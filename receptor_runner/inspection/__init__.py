"""Looks into a job that runs on this machine, for whoever asks by a small work unit of the same worktype.

Here live the processes of a work unit, what Ansible says that each works on, and the end of what one host does. How an
answer travels, and what events tell, is not known here."""
