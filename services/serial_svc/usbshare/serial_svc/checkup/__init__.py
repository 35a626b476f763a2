"""The checks of `serial-svc doctor`; none of them opens a device."""
