//! What waits between this node and its peers, as metrics. They are set when somebody asks for them, so that counting costs the
//! connections an addition and an idle node nothing.

use dspex_telemetry::names;
use dspex_transport::{Channel, Traffic};

/// Every channel is named, also those on which nothing has happened.
pub(super) fn publish(traffic: &Traffic) {
    for channel in Channel::ALL {
        let (label, counted) = ([channel.name()], traffic.of(channel));
        names::CHANNEL_QUEUED.with(label).set(counted.queued as f64);
        names::CHANNEL_REFUSED.with(label).absolute(counted.refused);
        names::CHANNEL_DROPPED.with(label).absolute(counted.dropped);
        names::CHANNEL_RECONNECTS.with(label).absolute(counted.reconnects);
    }
}
