//! Programs, variables and optimizations through the public surface: the commands, and the services beneath them, at an embedded
//! node and at clusters that lose their leaders.

mod embedded;
mod executing;
mod large;
mod losses;
mod names;
mod printing;
mod request;
mod sessions;
mod variables;
