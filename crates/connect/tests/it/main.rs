//! Sources and sinks against real brokers and scripted ones.

mod mosquitto;
mod support;
