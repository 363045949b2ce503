# DIR/all.cpp, which includes every .cpp Verilator left in DIR: their names follow the contents.
file(GLOB sources RELATIVE ${DIR} ${DIR}/*.cpp)
list(SORT sources)
set(text "")
foreach(source IN LISTS sources)
  string(APPEND text "#include \"${source}\"\n")
endforeach()
file(WRITE ${DIR}/all.cpp "${text}")
