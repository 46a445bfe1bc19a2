"""Every figure that README or docs state, as a claim with an aim that is measured anew."""
