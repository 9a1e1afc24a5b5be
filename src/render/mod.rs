//! 6. Hand over: a bundle and a format become bytes. Pure: no async, no clock, no I/O.
