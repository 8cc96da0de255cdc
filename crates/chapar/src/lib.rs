//! The command line of the Chapar service bus, and its demo.
