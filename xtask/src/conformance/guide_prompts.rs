//! What exo-guide is asked when it is compared, as its chat template puts it.

/// Control tokens are read out of these.
pub const GUIDE_PROMPTS: [&str; 4] = [
    "<|im_start|>user\nWhat is exo?<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>user\nHow do I add a node to the cluster?<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>user\nWhich port does the API use?<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>user\nHow do I read the logs of the master?<|im_end|>\n<|im_start|>assistant\n",
];
