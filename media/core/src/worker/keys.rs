//! Dense generational keys of the worker's tables.

slotmap::new_key_type! {
    pub struct PeerKey;
    pub struct TrackKey;
    pub struct SubscriptionKey;
}
