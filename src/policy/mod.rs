//! 3. What may you have: policies, a caller and a request become a decision. Pure: no async, no clock, no I/O.
