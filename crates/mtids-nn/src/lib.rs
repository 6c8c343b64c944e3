//! candle layers with exact gradients, backbones, experts, the DBR gate and MT-IDS.
