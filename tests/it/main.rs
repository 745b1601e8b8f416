//! The one integration binary: end to end over a real server, or the stand-in where none is named.

mod bad_input;
mod disk;
mod drift;
mod edges;
mod engines;
mod faults;
mod fill;
mod fixtures;
mod harness;
mod hostile;
mod keyed;
mod loaded;
mod loads;
mod maintaining;
mod modes;
mod outside;
mod planes;
mod random;
mod ranges;
mod recreated;
mod staggered;
mod steps;
mod strategies;
mod tidy;
mod tsql;
mod types;
