//! How many requests a caller may make: a bucket of tokens each, which fills at a constant rate. What is left is told with
//! every answer (draft-ietf-httpapi-ratelimit-headers-10: `RateLimit-Policy` and `RateLimit`).

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Callers remembered at a time. Whoever floods with addresses pushes out those whose buckets are fullest.
const BUCKETS_MAX: usize = 10_000;

/// `quota` requests at once, and as many again in each `window`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub(super) name: &'static str,
    pub(super) quota: u32,
    pub(super) window: Duration,
}

pub(super) struct Limiter<K> {
    policy: Policy,
    buckets: Mutex<HashMap<K, Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

/// The answer to one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Verdict {
    pub(super) is_allowed: bool,
    /// Requests left.
    remaining: u32,
    /// Until the bucket has another token, or is full, in seconds.
    pub(super) reset_seconds: u64,
}

impl<K: Eq + Hash + Clone> Limiter<K> {
    pub(super) fn new(policy: Policy) -> Self {
        Self { policy, buckets: Mutex::default() }
    }

    /// Takes a token where there is one.
    pub(super) fn take(&self, key: &K, now: Instant) -> Verdict {
        let quota = f64::from(self.policy.quota);
        let per_second = quota / self.policy.window.as_secs_f64();
        // A panic elsewhere leaves numbers that are still numbers.
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if !buckets.contains_key(key) && buckets.len() >= BUCKETS_MAX {
            evict(&mut buckets, now, quota, per_second);
        }
        let bucket = buckets.entry(key.clone()).or_insert(Bucket { tokens: quota, filled: now });
        bucket.tokens = level(bucket, now, quota, per_second);
        bucket.filled = now;
        let is_allowed = bucket.tokens >= 1.0;
        if is_allowed {
            bucket.tokens -= 1.0;
        }
        let wanted = if is_allowed { quota } else { 1.0 };
        Verdict {
            is_allowed,
            remaining: bucket.tokens as u32,
            reset_seconds: ((wanted - bucket.tokens) / per_second).ceil() as u64,
        }
    }

    /// Tells the policy and what is left.
    pub(super) fn describe(&self, verdict: Verdict, headers: &mut HeaderMap) {
        let Policy { name, quota, window } = self.policy;
        let policy = format!("\"{name}\";q={quota};w={}", window.as_secs());
        let left = format!("\"{name}\";r={};t={}", verdict.remaining, verdict.reset_seconds);
        for (header, value) in [("ratelimit-policy", policy), ("ratelimit", left)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(header), value);
            }
        }
    }
}

fn level(bucket: &Bucket, now: Instant, quota: f64, per_second: f64) -> f64 {
    (bucket.tokens + now.saturating_duration_since(bucket.filled).as_secs_f64() * per_second).min(quota)
}

/// Forgets full buckets, which are as good as new; where that is not enough, the fullest half.
fn evict<K: Eq + Hash + Clone>(buckets: &mut HashMap<K, Bucket>, now: Instant, quota: f64, per_second: f64) {
    buckets.retain(|_, bucket| level(bucket, now, quota, per_second) < quota);
    if buckets.len() >= BUCKETS_MAX {
        let mut levels: Vec<f64> = buckets.values().map(|bucket| level(bucket, now, quota, per_second)).collect();
        levels.sort_by(f64::total_cmp);
        let middle = levels[levels.len() / 2];
        buckets.retain(|_, bucket| level(bucket, now, quota, per_second) < middle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter() -> Limiter<u32> {
        Limiter::new(Policy { name: "test", quota: 3, window: Duration::from_secs(30) })
    }

    #[test]
    fn a_quota_may_be_used_at_once_and_fills_again_at_its_rate() {
        let (limiter, start) = (limiter(), Instant::now());
        for left in [2, 1, 0] {
            let verdict = limiter.take(&1, start);
            assert!(verdict.is_allowed && verdict.remaining == left);
        }
        let refused = limiter.take(&1, start);
        assert_eq!((refused.is_allowed, refused.reset_seconds), (false, 10));
        assert!(limiter.take(&2, start).is_allowed, "another caller has a bucket of their own");
        assert!(!limiter.take(&1, start + Duration::from_secs(9)).is_allowed);
        assert!(limiter.take(&1, start + Duration::from_secs(11)).is_allowed);
        assert!(!limiter.take(&1, start + Duration::from_secs(11)).is_allowed);
    }

    #[test]
    fn a_flood_of_callers_takes_bounded_memory_and_frees_nobody_who_was_refused() {
        let (limiter, start) = (limiter(), Instant::now());
        for _ in 0..4 {
            limiter.take(&0, start);
        }
        for caller in 1..=3 * BUCKETS_MAX as u32 {
            limiter.take(&caller, start);
        }
        assert!(limiter.buckets.lock().unwrap().len() <= BUCKETS_MAX);
        assert!(!limiter.take(&0, start).is_allowed);
    }

    #[test]
    fn the_headers_say_policy_and_remainder() {
        let limiter = limiter();
        let mut headers = HeaderMap::new();
        limiter.describe(limiter.take(&1, Instant::now()), &mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"test\";q=3;w=30");
        assert_eq!(headers["ratelimit"], "\"test\";r=2;t=10");
    }
}
