"""Calls to the services of a host, for every program that uses one."""
