//! Black-box tests: the real binary, real files, and, where we are root, the real kernel in
//! network namespaces of our own.

mod audit;
mod command_line;
mod crash;
mod drill;
mod guard;
mod kernel;
mod replay;
mod support;
