"""The page: what `jaxmem demo` shows in a browser, one file a tab."""
