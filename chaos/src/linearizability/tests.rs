mod classics;
mod messages;
mod reference;
