# cmake --install: the public headers, both libraries, the command, its manual page and completion,
# files for pkg-config and find_package(lacuna). Instrumented builds are not meant to be installed.
if(LACUNA_SANITIZE OR LACUNA_COVERAGE OR LACUNA_FUZZ)
  return()
endif()
include(CMakePackageConfigHelpers)
set(LACUNA_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/lacuna)

install(DIRECTORY include/lacuna DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

# ---- libraries: two exports, because only the static one brings its dependencies along
set_target_properties(lacuna_shared PROPERTIES EXPORT_NAME lacuna)
set_target_properties(lacuna_static PROPERTIES EXPORT_NAME static)
foreach(kind shared static)
  install(TARGETS lacuna_${kind} EXPORT lacuna_${kind}
          LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
          ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT lacuna_${kind} NAMESPACE lacuna:: FILE lacuna-${kind}.cmake
          DESTINATION ${LACUNA_CMAKE_DIR})
endforeach()

# What the static library needs: modules of pkg-config by name, the rest as flags.
set(LACUNA_MODULES "PROTOBUF_C=libprotobuf-c;JANSSON=jansson;CYAML=libcyaml")
foreach(option JPEG=libjpeg SPNG=spng ZLIB=zlib)
  string(REGEX REPLACE "=.*" "" name ${option})
  if(${name}_FOUND)
    list(APPEND LACUNA_MODULES ${option})
  endif()
endforeach()
set(LACUNA_PC_PRIVATE "")
set(LACUNA_FIND_MODULES "")
foreach(module IN LISTS LACUNA_MODULES)
  string(REPLACE "=" ";" pair ${module})
  list(GET pair 0 name)
  list(GET pair 1 file)
  list(JOIN ${name}_LDFLAGS " " flags)
  string(APPEND LACUNA_PC_PRIVATE " ${flags}")
  string(APPEND LACUNA_FIND_MODULES
         "  pkg_check_modules(${name} REQUIRED IMPORTED_TARGET ${file})\n")
endforeach()
string(APPEND LACUNA_PC_PRIVATE " ${DNNL_LIBRARY}")
if(OpenMP_C_FOUND)
  string(APPEND LACUNA_PC_PRIVATE " ${OpenMP_C_FLAGS}")
  string(APPEND LACUNA_FIND_MODULES "  find_dependency(OpenMP COMPONENTS C)\n")
endif()
foreach(library ${CMAKE_DL_LIBS} m)
  string(APPEND LACUNA_PC_PRIVATE " -l${library}")
endforeach()

configure_package_config_file(cmake/lacunaConfig.cmake.in lacunaConfig.cmake
                              INSTALL_DESTINATION ${LACUNA_CMAKE_DIR})
write_basic_package_version_file(lacunaConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/lacunaConfig.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/lacunaConfigVersion.cmake
        DESTINATION ${LACUNA_CMAKE_DIR})

# The prefix is found from where lacuna.pc lies, so that `cmake --install --prefix` and a moved tree
# work.
cmake_path(RELATIVE_PATH CMAKE_INSTALL_FULL_LIBDIR BASE_DIRECTORY ${CMAKE_INSTALL_PREFIX}
           OUTPUT_VARIABLE LACUNA_PC_LIBDIR)
cmake_path(RELATIVE_PATH CMAKE_INSTALL_FULL_INCLUDEDIR BASE_DIRECTORY ${CMAKE_INSTALL_PREFIX}
           OUTPUT_VARIABLE LACUNA_PC_INCLUDEDIR)
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX
           BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig OUTPUT_VARIABLE LACUNA_PC_UP)
configure_file(cmake/lacuna.pc.in lacuna.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/lacuna.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# ---- the command; what it says about itself becomes the manual page and the completion
if(TARGET lacuna)
  install(TARGETS lacuna RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  foreach(document man completion)
    add_custom_command(OUTPUT generated/lacuna.${document}
      COMMAND lacuna list ${document} > generated/lacuna.${document} DEPENDS lacuna VERBATIM)
  endforeach()
  add_custom_target(lacuna_documents ALL DEPENDS generated/lacuna.man generated/lacuna.completion)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/generated/lacuna.man
          DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 RENAME lacuna.1)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/generated/lacuna.completion
          DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME lacuna)
endif()
