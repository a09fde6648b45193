"""The app, for `streamlit run app.py -- [LOG…]`; `workbench app` starts the same."""

from workbench.ui.app import main

main()
