//! THE RATES: rate limits, for each key or for all together. Knows nothing of what it limits.

mod limiter;
mod window;

pub use limiter::RateLimiter;
pub use window::Window;
