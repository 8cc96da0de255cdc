//! `chapar demo`: the whole bus on this machine, with invented citizens, and the story of one farm loan.

pub mod data;
mod people;
