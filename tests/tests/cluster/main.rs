//! Several nodes as an operator has them: formed, asked, changed, killed, and looked at from outside.

mod access;
mod backup;
mod callers;
mod certificates;
mod channels;
mod connections;
mod distributing;
mod distribution;
mod draining;
mod following;
mod forming;
mod hostile;
mod losses;
mod members;
mod repeats;
mod runs;
mod sessions;
mod sharing;
mod subject;
mod worker_nodes;
