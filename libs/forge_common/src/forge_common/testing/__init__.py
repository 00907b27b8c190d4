"""What tests share: real servers, a Forge home, the demo's base model. Never imported by product code."""
