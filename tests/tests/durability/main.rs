//! What was recorded is never lost and never executed again, whatever dies: the node, a worker, a zygote, the command.

mod driver;
mod node;
mod random;
mod resumes;
mod runs;
mod sources;
mod subject;
mod workers;
