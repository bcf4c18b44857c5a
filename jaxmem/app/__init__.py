"""The page: what `jaxmem demo` shows in a browser, one file a tab."""

from jaxmem import extensions

extensions.load()  # in every process of the page: rules and workloads of others are shown too
