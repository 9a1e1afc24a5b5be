//! Rate limits: `RateLimiter` for each key, `SlidingWindow` for all callers together.

mod limiter;
mod window;

pub use limiter::RateLimiter;
pub use window::SlidingWindow;
