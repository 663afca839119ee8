"""From prompts to pictures: one sampling loop for everything that draws."""
