//! The one integration binary: end to end over a real server, or the stand-in where none is named.

mod bad_input;
mod created;
mod disk;
mod drift;
mod edges;
mod engines;
mod faults;
mod fill;
mod fixtures;
mod harness;
mod hostile;
mod loaded;
mod loads;
mod maintaining;
mod outside;
mod planes;
mod random;
mod ranges;
mod recreated;
mod staggered;
mod strategies;
mod tidy;
mod tsql;
mod types;
