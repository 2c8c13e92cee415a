"""Where networks come from: one adapter file per source, alone in importing its package."""
