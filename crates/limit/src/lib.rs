//! Rate, burst and concurrency of each grant.
