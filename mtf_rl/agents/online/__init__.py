"""Actor-critics of Stable-Baselines3 on the batched simulator."""
