//! The journal on a simulated disk: what is damaged, torn, full, failing or without power gives back what
//! was promised, and never anything else.

mod away;
mod crash;
mod damage;
mod database;
mod disk;
mod events;
mod power;
mod speed;
